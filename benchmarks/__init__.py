"""How fast the service is: beside other ways to build it, and as its data grow."""
