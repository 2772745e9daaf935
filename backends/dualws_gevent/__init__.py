"""dualws on gevent: blocking code in greenlets, one thread, thousands of connections."""
