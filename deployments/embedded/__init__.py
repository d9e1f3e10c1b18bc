"""Redis and Prefect on one machine, for one user: started by whoever comes first, ended with the last one."""
