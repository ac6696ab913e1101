"""Technical cues: black frames, colour bars, credits, slates and studio logos, and the content between them."""

from openrek.vision.video.cues.analyser import CueAnalyser
from openrek.vision.video.cues.black import BlackRule
from openrek.vision.video.cues.timeline import CueKind

__all__ = ["BlackRule", "CueAnalyser", "CueKind"]
