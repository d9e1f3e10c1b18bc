"""A file's rows in frames: from bytes to text, records, and cells under the definition's columns."""
