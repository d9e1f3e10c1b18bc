"""Rows through limit, client and ledger, by one process or shared by many."""
