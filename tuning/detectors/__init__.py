"""Detectors on the command line: trained, gone on with, used on images."""
