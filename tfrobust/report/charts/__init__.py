"""What a page draws: panels of curves with lines, scales and axes; Matplotlib figures; tiles."""
