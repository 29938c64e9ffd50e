"""Alarms: what an operator must know without having looked. Told once, and once more when it is over.

record.py keeps them, conditions.py finds what is wrong, letters.py puts it into words, ways.py sends, looking.py does
one look.
"""
