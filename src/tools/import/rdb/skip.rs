//! Values that have no place here, passed over: as much of their form is known as tells where they end.

use super::input::{Input, Malformed};

/// So many numbers.
pub(super) fn lengths(input: &mut Input<'_>, count: u32) -> Result<(), Malformed> {
    for _ in 0..count {
        input.length()?;
    }
    Ok(())
}

/// So many strings.
pub(super) fn strings(input: &mut Input<'_>, count: u64) -> Result<(), Malformed> {
    for _ in 0..count {
        input.skip_string()?;
    }
    Ok(())
}

/// A value of this type.
pub(super) fn value(input: &mut Input<'_>, form: u8) -> Result<(), Malformed> {
    match form {
        // A string, or something packed into one.
        0 | 9 | 10 | 11 | 12 | 13 | 16 | 17 | 20 | 23 => input.skip_string(),
        // A list, a set, a list of ziplists.
        1 | 2 | 14 => {
            let count = input.length()?;
            strings(input, count)
        }
        4 => {
            let count = input.length()?;
            // Each takes a byte at least, so that a number that is too large finds the end of the file.
            (0..count).try_for_each(|_| strings(input, 2))
        }
        3 => each(input, |input| {
            input.skip_string()?;
            match input.byte()? {
                // Not a number, and the two infinities.
                253..=255 => Ok(()),
                digits => input.skip(digits.into()),
            }
        }),
        5 => each(input, |input| {
            input.skip_string()?;
            input.skip(8)
        }),
        7 => {
            input.length()?;
            module(input)
        }
        15 | 19 | 21 => stream(input, form),
        18 => each(input, |input| {
            input.length()?;
            input.skip_string()
        }),
        22 => expiring_fields(input),
        24 => {
            input.skip(8)?;
            expiring_fields(input)
        }
        25 => {
            input.skip(8)?;
            input.skip_string()
        }
        _ => Err(Malformed("an unknown type of value")),
    }
}

fn each(
    input: &mut Input<'_>,
    skip: impl Fn(&mut Input<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for _ in 0..input.length()? {
        skip(input)?;
    }
    Ok(())
}

/// Fields with deadlines: deadline, field, value.
fn expiring_fields(input: &mut Input<'_>) -> Result<(), Malformed> {
    each(input, |input| {
        input.length()?;
        strings(input, 2)
    })
}

/// What a module wrote, which tells the type of each of its parts.
fn module(input: &mut Input<'_>) -> Result<(), Malformed> {
    loop {
        match input.length()? {
            0 => return Ok(()),
            1 | 2 => drop(input.length()?),
            3 => input.skip(4)?,
            4 => input.skip(8)?,
            5 => input.skip_string()?,
            _ => return Err(Malformed("an unknown part of a module's value")),
        }
    }
}

/// What a module wrote beside keys: its number, and when it wants to have it, as a part of its own.
pub(super) fn module_aux(input: &mut Input<'_>) -> Result<(), Malformed> {
    lengths(input, 3)?;
    module(input)
}

fn stream(input: &mut Input<'_>, form: u8) -> Result<(), Malformed> {
    /// Bytes of the name of an entry, and of a time.
    const NAME: u64 = 16;
    const TIME: u64 = 8;
    each(input, |input| strings(input, 2))?;
    // Entries and the last name; since 7.0 the first one, the greatest that was removed, and all there ever were.
    lengths(input, if form == 15 { 3 } else { 8 })?;
    each(input, |input| {
        input.skip_string()?;
        lengths(input, if form == 15 { 2 } else { 3 })?;
        each(input, |input| {
            input.skip(NAME + TIME)?;
            lengths(input, 1)
        })?;
        each(input, |input| {
            input.skip_string()?;
            // When it was seen, and since 7.2 when it was active.
            input.skip(if form == 21 { 2 * TIME } else { TIME })?;
            each(input, |input| input.skip(NAME))
        })
    })
}
