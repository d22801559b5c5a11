//! Frames come out as they were put in, in order and whole, however threads and the ring's end fall.

#[cfg(model)]
mod model;
#[cfg(not(model))]
mod threads;
