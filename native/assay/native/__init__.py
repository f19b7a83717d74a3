"""Kernels over Arrow text columns: bytes and arrays in, arrays out, without the GIL."""
