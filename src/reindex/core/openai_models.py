"""What is known of OpenAI's own models by their names."""

KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


def known_dimensions(model: str) -> int:
    """Of a model of OpenAI's, also where a server puts a path before its name; 0 for any other."""
    return KNOWN_DIMENSIONS.get(model.rsplit("/", 1)[-1].lower(), 0)


def can_shorten(model: str) -> bool:
    """Whether the server itself makes shorter vectors of it, on request (`dimensions`)."""
    return known_dimensions(model) > 0 and "-3-" in model


def dimensions_sent(model: str, dimensions: int, *, sends_dimensions: bool) -> int:
    """What the server is asked for; 0: it is not, and its vectors are cut here where they are longer."""
    wants_fewer = 0 < dimensions != known_dimensions(model)
    return dimensions if sends_dimensions and can_shorten(model) and wants_fewer else 0
