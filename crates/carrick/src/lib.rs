//! carrick-carrick
