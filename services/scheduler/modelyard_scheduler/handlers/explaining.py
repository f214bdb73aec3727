"""Answers why an instance is where it is, and why not elsewhere."""

from dataclasses import dataclass

from modelyard_contracts.deployments import Source
from modelyard_contracts.explanations import ExplainQuestion, Explanation

from modelyard_scheduler.domain.explaining import explanation
from modelyard_scheduler.handlers.placement import PlacementHandler


@dataclass(frozen=True, slots=True)
class ExplainHandler:
    placement: PlacementHandler

    async def explain(self, question: ExplainQuestion) -> Explanation:
        """Of an instance that this scheduler knows; it need not be the one at work."""
        decider = self.placement.decider
        state = decider.picture.instances.get(question.instance_id)
        if state is None:
            return Explanation(found=False, instance_id=question.instance_id)
        paths = None
        if state.spec.source is Source.LOCAL_PATH:
            asked = self.placement.candidates(state)
            paths = await self.placement.paths.ask(state.spec.local_path or "", asked)
        return explanation(decider.picture, state, paths, decider.now(), self.placement.surveys)
