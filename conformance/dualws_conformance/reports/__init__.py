"""The results of a run as JSON, JUnit and HTML."""
