"""What `pgagent` does beside running jobs: each module stands for one or more words.

The runner knows nothing of them, and `pgagent run` loads none.
"""
