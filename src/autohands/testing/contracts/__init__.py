"""One conformance class per protocol: subclass it in a test module and say how to make the thing."""
