"""The generation worker: one event loop that claims calls, runs each as a task, and settles them in batches."""
