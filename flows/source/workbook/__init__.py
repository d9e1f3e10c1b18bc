"""Workbooks: Excel of today and of before 2007, and OpenDocument; which sheet, which header, and the rows below it."""
