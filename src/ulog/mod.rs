//! ulog
