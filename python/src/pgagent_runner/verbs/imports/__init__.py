"""`pgagent import`: jobs of other schedulers, as definitions of ours."""
