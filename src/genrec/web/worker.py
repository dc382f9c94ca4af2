"""LitServe's part that computes: requests that wait are taken together, and answered together."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, Queue
from typing import Any, NamedTuple

from litserve import LitAPI
from litserve.loops.base import LitLoop
from litserve.transport.base import MessageTransport
from litserve.utils import LitAPIStatus, LoopResponseType

from genrec.web.answers import Answers
from genrec.web.bodies import Asked
from genrec.web.limits import Limits
from genrec.web.metrics import Metrics
from genrec.web.refusals import Refusal

logger = logging.getLogger("genrec.web")

PATH = "/recommend"
"""What LitServe calls the queue of the requests."""
STOP = None
"""What ends a worker once it has answered all that came before."""


class Job(NamedTuple):
    """A request on its way to a worker.

    Args:
        run: which recommender it is about.
        work: what is asked of its `Answers`; `Asked` is a request for lists, which share batches.
    """

    run: str
    work: Asked | Callable[[Answers], Any]


class Recommenders(LitAPI):
    """The recommenders that are served, as LitServe has it.

    Args:
        answers: what each answers, by the names that requests call them.
        limits: how many requests are taken together.
        metrics: count them.
    """

    def __init__(self, answers: Mapping[str, Answers], limits: Limits, metrics: Metrics) -> None:
        super().__init__(max_batch_size=limits.batch, api_path=PATH, loop=Waiting())
        self.answers, self.metrics = dict(answers), metrics

    def predict(self, jobs: Sequence[Job], **kwargs: Any) -> list[Any]:
        """The answers of jobs, each a `Refusal` where it cannot be had; those for lists are ranked together.

        Where something goes wrong they are ranked one by one: what one cannot have, the others can.
        """
        self.metrics.batch.observe(len(jobs))
        found: dict[int, Any] = {}
        together: dict[str, list[int]] = defaultdict(list)
        for place, (run, work) in enumerate(jobs):
            if isinstance(work, Asked):
                together[run].append(place)
            else:
                found[place] = _tried(lambda answers=self.answers[run], work=work: work(answers))  # type: ignore[misc]
        for run, places in together.items():
            requests: Any = [jobs[place].work for place in places]
            answers = _tried(lambda run=run, requests=requests: self.answers[run].recommend(requests))  # type: ignore[misc]
            if isinstance(answers, Exception) and len(requests) > 1:
                answers = [_tried(lambda run=run, one=one: self.answers[run].recommend([one])[0]) for one in requests]  # type: ignore[misc]
            found.update(zip(places, answers if isinstance(answers, list) else [answers] * len(places), strict=True))
        return [found[place] for place in range(len(jobs))]


def _tried(work: Callable[[], Any]) -> Any:
    """What comes of it, or what was raised: a client is told of a `Refusal`, and the log of everything else."""
    try:
        return work()
    except Refusal as refusal:
        return refusal
    except Exception as error:
        logger.exception("a request could not be answered")
        return error


class Waiting(LitLoop):
    """Takes all that waits, up to a batch, and never waits for more: while some are ranked, the next ones gather.

    LitServe's own loop asks the queue again and again, and lets a lone request wait for company.
    """

    def __call__(
        self,
        lit_api: LitAPI,
        device: str,
        worker_id: int,
        request_queue: Queue[Any],
        transport: MessageTransport,
        *rest: Any,
    ) -> None:
        """Answer until `STOP` comes."""
        while (first := request_queue.get()) is not STOP:
            taken = [first]
            try:
                while len(taken) < lit_api.max_batch_size:
                    if (more := request_queue.get_nowait()) is STOP:
                        request_queue.put(STOP)
                        break
                    taken.append(more)
            except Empty:
                pass
            now = time.monotonic()
            # Who has given up waiting needs no answer.
            taken = [one for one in taken if now - one[2] < lit_api.request_timeout]
            answers = lit_api.predict([job for _, _, _, job in taken])
            for (consumer, number, _, _), answer in zip(taken, answers, strict=True):
                kind = LoopResponseType.REGULAR
                self.put_response(transport, consumer, number, answer, LitAPIStatus.OK, kind)
