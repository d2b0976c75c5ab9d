//! carrick-swarm
