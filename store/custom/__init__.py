"""Kinds that clients define. Nothing here is loaded before there is one."""
