"""Training loop with checkpoints, log and validation table; it can be stopped and resumed at any iteration.

Every clip is determined by seed, epoch and index, so a resumed run equals an uninterrupted one bit for bit.
Source: Human3R (arXiv 2510.06219), sec. 4 and released configuration.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from human3r.errors import Human3RError, InputError
from human3r.models.config import PRESETS
from human3r.training.paper.checkpoint import (
    BEST,
    FINAL,
    LAST,
    Progress,
    load_last,
    save_last,
    save_network,
    save_tuned,
)
from human3r.training.paper.config import PaperTraining, check_settings
from human3r.training.paper.criterion import loss_terms, prepare_targets, total_loss
from human3r.training.paper.data.clips import ClipRequest, list_starts, plan_epoch, plan_validation
from human3r.training.paper.data.dataset import ClipDataset, TrueClips, load_batches
from human3r.training.paper.data.layout import SPLITS
from human3r.training.paper.data.people_truth import load_true_body
from human3r.training.paper.initial import initialize
from human3r.training.paper.network import TrainedNetwork
from human3r.training.paper.optimizer import build_optimizer, clip_gradients, learning_rate, tuned_parameters
from human3r.training.paper.processes import start_processes
from human3r.training.paper.validation import HEADER, Scores, score_batch, summarize, table_row

_LOG = logging.getLogger(__name__)
LOG_FILE, TABLE_FILE = "log.jsonl", "validation.txt"


class PaperTrainer:
    """A run: network, optimizer, data and progress.

    Raises:
        InputError: A setting is impossible, or there is no data.
        AssetError: A file that training starts from is missing.
        CheckpointError: Such a file is of another network.
    """

    def __init__(self, settings: PaperTraining) -> None:
        check_settings(settings)
        self.settings = settings
        self.processes = start_processes(settings.device)
        self.folder = Path(settings.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        root, data = Path(settings.data.root), settings.data
        self.training, self.validation = (
            ClipDataset(root / split, list_starts(root, split, data.excluded_sequences), data) for split in SPLITS
        )
        optimizer = settings.optimizer
        self.trained = TrainedNetwork(
            PRESETS[settings.model], settings.variant, optimizer.precision, optimizer.gradient_checkpointing
        )
        self.tuned = tuned_parameters(self.trained, settings.variant)
        self.trained.to(self.processes.device)
        self.optimizer = build_optimizer(self.tuned, optimizer)
        self.progress = self._start()
        self.wrapped = self.processes.wrap(self.trained)
        self.body = load_true_body(settings.body, settings.variant.truth_betas).to(self.processes.device)
        self._sums: dict[str, float] = {}

    @property
    def iterations_per_epoch(self) -> int:
        """Optimizer steps per epoch; an incomplete last step is dropped."""
        optimizer = self.settings.optimizer
        return self.settings.data.clips_per_epoch // (optimizer.batch * self.processes.count * optimizer.accumulation)

    def run(self, last_iteration: int | None = None) -> None:
        """Train to the end of the run, or to an iteration."""
        if self.iterations_per_epoch == 0:
            raise InputError(
                f"An epoch of {self.settings.data.clips_per_epoch} clips does not fill one iteration.",
                "Use a smaller batch or fewer processes.",
            )
        end = self.settings.optimizer.epochs * self.iterations_per_epoch
        end = end if last_iteration is None else min(end, last_iteration)
        is_cuda = self.processes.device.type == "cuda"
        with _fast_products(is_cuda and self.settings.optimizer.use_tf32):
            if self.progress.iteration == 0:
                self._end_epoch()
            while self.progress.iteration < end:
                self._run_epoch(end)
        if self.progress.iteration == self.settings.optimizer.epochs * self.iterations_per_epoch:
            self._on_main(lambda: save_network(self.folder / FINAL, self.trained))

    def validate(self) -> Scores:
        """Score the network on the test split."""
        batches = plan_validation(len(self.validation.starts), self.settings.optimizer.batch, self.settings.data)
        mine = batches[self.processes.rank :: self.processes.count]
        values = [
            score_batch(self.trained, clips.to(self.processes.device), self.body, self.settings)
            for clips in load_batches(self.validation, mine, self.settings.data.workers)
        ]
        return summarize(self.processes.gather(values))

    def learning_rate(self) -> float:
        """Return the rate of the next iteration."""
        return learning_rate(self.progress.iteration / self.iterations_per_epoch, self.settings.optimizer)

    def _start(self) -> Progress:
        """Resume the run of the folder, or initialize a new one."""
        if (self.folder / LAST).exists():
            progress = load_last(self.folder, self.trained, self.tuned, self.optimizer, self.settings)
            _LOG.info("resuming after iteration %d", progress.iteration)
            return progress
        initialize(self.trained, self.settings.initial, self.settings.seed)
        return Progress()

    def _run_epoch(self, end: int) -> None:
        """Train to the end of the current epoch, or to iteration ``end``."""
        epoch, done = divmod(self.progress.iteration, self.iterations_per_epoch)
        batches = self._plan(epoch)[done * self.settings.optimizer.accumulation :]
        micro_batches = iter(load_batches(self.training, batches, self.settings.data.workers))
        for _ in range(min(self.iterations_per_epoch - done, end - self.progress.iteration)):
            self._step(micro_batches)
            iteration = self.progress.iteration
            if iteration % self.settings.log_every == 0:
                self._on_main(self._log)
            if iteration % self.iterations_per_epoch == 0:
                self._end_epoch()
            elif iteration % self.settings.checkpoint_every == 0 or iteration == end:
                self._on_main(self._save)

    def _plan(self, epoch: int) -> list[list[ClipRequest]]:
        """Return this process's batches of an epoch."""
        optimizer = self.settings.optimizer
        batches = plan_epoch(len(self.training.starts), epoch, self.settings.seed, optimizer.batch, self.settings.data)
        count = self.iterations_per_epoch * optimizer.accumulation
        return batches[self.processes.rank :: self.processes.count][:count]

    def _step(self, micro_batches: Iterator[TrueClips]) -> None:
        """Make one step of the optimizer."""
        accumulation = self.settings.optimizer.accumulation
        self.wrapped.train()
        for index in range(accumulation):
            is_last = index + 1 == accumulation
            with nullcontext() if is_last else self.processes.unsynchronized(self.wrapped):
                self._accumulate(next(micro_batches).to(self.processes.device), 1 / accumulation)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        norm = clip_gradients(self.trained, self.tuned, self.settings.optimizer)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.iteration += 1
        self._add({"gradient_norm": float(norm), "iterations": 1.0})

    def _accumulate(self, clips: TrueClips, share: float) -> None:
        """Add the gradient of one batch.

        Raises:
            Human3RError: The loss is not finite.
        """
        settings = self.settings
        inputs, targets = prepare_targets(clips, self.body, self.trained.parts, settings.variant)
        predictions = self.wrapped(inputs)
        terms = loss_terms(predictions, clips, targets, self.body, settings.losses, settings.variant)
        total = total_loss(terms, settings.losses)
        named = {"loss": total, **terms.named()}
        # One device synchronization instead of one per term.
        values = dict(zip(named, torch.stack(list(named.values())).tolist(), strict=True))
        if not torch.isfinite(total):
            bad = ", ".join(name for name, value in values.items() if not abs(value) < float("inf"))
            raise Human3RError(f"The loss of iteration {self.progress.iteration} is not finite: {bad}.")
        self._add({name: value * share for name, value in values.items()})
        self.processes.backward(total * share)

    def _add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def _log(self) -> None:
        """Append the means since the last line."""
        count = self._sums.pop("iterations")
        line: dict[str, float] = {"iteration": self.progress.iteration, "learning_rate": self.learning_rate()}
        line |= {name: value / count for name, value in self._sums.items()}
        self._sums = {}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        _LOG.info("iteration %d: loss %.4f", self.progress.iteration, line["loss"])

    def _end_epoch(self) -> None:
        """Validate, write the best network and ``last``."""
        self.wrapped.eval()
        scores = self.validate()
        epoch = self.progress.iteration // self.iterations_per_epoch
        is_best = scores.terms["total"] < self.progress.best
        self.progress.best = min(self.progress.best, scores.terms["total"])

        def write() -> None:
            self._write_scores(epoch, scores)
            if is_best:
                save_network(self.folder / BEST, self.trained)
            if self.settings.keep_every and epoch and epoch % self.settings.keep_every == 0:
                save_tuned(self.folder / f"tuned_{epoch:04d}.safetensors", self.tuned)
            self._save()

        self._on_main(write)

    def _write_scores(self, epoch: int, scores: Scores) -> None:
        row = table_row(epoch, scores)
        path = self.folder / TABLE_FILE
        with path.open("a", encoding="utf-8") as file:
            file.write(row + "\n" if path.stat().st_size else f"{HEADER}\n{row}\n")
        with (self.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch} | asdict(scores)) + "\n")
        _LOG.info("%s\n%s", HEADER, row)

    def _save(self) -> None:
        save_last(self.folder, self.trained, self.tuned, self.optimizer, self.progress, self.settings)

    def _on_main(self, action: Callable[[], object]) -> None:
        """Run ``action`` in the first process; the others wait."""
        if self.processes.rank == 0:
            action()
        self.processes.wait()


@contextmanager
def _fast_products(is_fast: bool) -> Iterator[None]:
    """Allow TF32 matrix products on NVIDIA GPUs for the length of a run."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if is_fast else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
