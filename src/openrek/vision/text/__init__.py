"""Text in pictures: lines and words, with their place and direction.

>>> from openrek.vision.text import read_text  # doctest: +SKIP
>>> for line in read_text(picture, runtime).lines:  # doctest: +SKIP
...     print(line.text, round(line.confidence, 2), line.quad)
"""

from openrek.vision.text.layout import WordFilter
from openrek.vision.text.reader import LONGEST, MAX_WORDS, read_text
from openrek.vision.text.result import Line, Quad, TextResult, Word

__all__ = ["LONGEST", "MAX_WORDS", "Line", "Quad", "TextResult", "Word", "WordFilter", "read_text"]
