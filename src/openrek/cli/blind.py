"""What moderation cannot see with the models installed here, as one sentence."""

from openrek import __version__
from openrek.settings import Settings


def blind_sentence(settings: Settings) -> str:
    """Names the version and every name of the moderation taxonomy that nothing here can see.

    Raises CardError where a card of one's own is not valid.
    """
    from openrek.vision.moderation import VERSION, blind_spots
    from openrek.vision.runtime import Catalogue

    blind = blind_spots(Catalogue(settings.home / "models.d"), nudenet=settings.nudenet)
    if not blind:
        return f"Moderation {VERSION} (openrek {__version__}): every category has a model."
    return f"Moderation {VERSION} (openrek {__version__}) cannot see: {'; '.join(blind)}. No label does not mean safe."
