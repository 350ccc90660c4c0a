//! Nothing: the tests are in `tests/`, each file one side of what Dormouse promises.
