"""Other ways to build the service, each as its own documentation recommends."""
