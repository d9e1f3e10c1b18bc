"""Files, from bytes to rows and back."""
