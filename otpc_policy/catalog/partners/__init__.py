"""Partners as the operator describes them.

Whose endpoints they are, what is trusted there, what was agreed and what is waived.
"""
