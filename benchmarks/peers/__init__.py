"""Other designs of the service, each built as its documentation recommends."""
