"""Pure: values in, values out. No server."""
