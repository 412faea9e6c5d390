"""Partners as the operator describes them: whose endpoints they are, what is trusted there, what is expected and what is waived.

Pure: texts become entries here, entries an index, and the index the terms under which one endpoint is judged. Files are read elsewhere.
"""
