"""Images with objects in boxes: their sources, and which of them are chosen."""
