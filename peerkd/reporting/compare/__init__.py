"""The comparison of several studies: texts, tables and a page."""
