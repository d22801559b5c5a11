//! Shapes: the ordered field names that many hashes have in common. Each is kept once in a segment.
#![expect(clippy::cast_possible_truncation, reason = "shapes of a segment are few")]

/// Shapes of a segment.
const SHAPES: usize = 256;

/// Fields of a shape.
pub(super) const SHAPE_FIELDS: usize = 64;

/// Bytes of a field name in a shape.
pub(super) const FIELD_BYTES: usize = 64;

/// Names a shape while a row has it.
pub(super) type ShapeId = u16;

/// Field names, in the order in which they were set.
#[derive(Debug)]
pub(super) struct Shape {
    fields: Vec<Box<[u8]>>,
    /// Rows that have it. Shapes that no row has are kept until their place is needed.
    rows: usize,
}

impl Shape {
    /// The names.
    pub(super) fn fields(&self) -> &[Box<[u8]>] {
        &self.fields
    }

    /// Where a field stands.
    #[inline]
    pub(super) fn position(&self, field: &[u8]) -> Option<usize> {
        self.fields.iter().position(|name| **name == *field)
    }

    fn heap_bytes(&self) -> usize {
        let names = self.fields.iter().map(|name| name.len() + 2 * size_of::<usize>()).sum::<usize>();
        names + self.fields.capacity() * size_of::<Box<[u8]>>()
    }
}

/// The shapes of one segment.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    heap_bytes: usize,
}

impl Shapes {
    /// The shape of this name.
    #[inline]
    pub(super) fn get(&self, id: ShapeId) -> &Shape {
        &self.shapes[usize::from(id)]
    }

    /// Shapes that some row has.
    pub(super) fn len(&self) -> usize {
        self.shapes.iter().filter(|shape| shape.rows > 0).count()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes + self.shapes.capacity() * size_of::<Shape>()
    }

    /// The shape of these fields, for one more row. `None`: it is new, and there is no room.
    pub(super) fn acquire<'f>(&mut self, fields: impl Iterator<Item = &'f [u8]> + Clone) -> Option<ShapeId> {
        let same = |shape: &Shape| shape.fields.iter().map(|name| &**name).eq(fields.clone());
        let id = match self.shapes.iter().position(same) {
            Some(id) => id,
            None => self.place()?,
        };
        if self.shapes[id].rows == 0 && !same(&self.shapes[id]) {
            self.heap_bytes -= self.shapes[id].heap_bytes();
            self.shapes[id].fields = fields.map(Into::into).collect();
            self.heap_bytes += self.shapes[id].heap_bytes();
        }
        self.shapes[id].rows += 1;
        Some(id as ShapeId)
    }

    /// A row has a shape no longer.
    pub(super) fn release(&mut self, id: ShapeId) {
        self.shapes[usize::from(id)].rows -= 1;
    }

    /// A place for a shape that is not here.
    fn place(&mut self) -> Option<usize> {
        if self.shapes.len() == SHAPES {
            return self.shapes.iter().position(|shape| shape.rows == 0);
        }
        self.shapes.push(Shape { fields: Vec::new(), rows: 0 });
        Some(self.shapes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{SHAPES, Shapes};

    fn fields(text: &str) -> impl Iterator<Item = &[u8]> + Clone {
        text.split(' ').map(str::as_bytes)
    }

    #[test]
    fn rows_of_one_shape_share_it() {
        let mut shapes = Shapes::default();
        let first = shapes.acquire(fields("views likes")).unwrap();
        assert_eq!(shapes.acquire(fields("views likes")), Some(first));
        assert_ne!(shapes.acquire(fields("likes views")), Some(first));
        assert_eq!(shapes.get(first).position(b"likes"), Some(1));
        assert_eq!(shapes.get(first).position(b"like"), None);
        assert_eq!(shapes.len(), 2);
        shapes.release(first);
        shapes.release(first);
        assert_eq!(shapes.len(), 1);
    }

    #[test]
    fn shapes_are_bounded_and_their_places_come_back() {
        let mut shapes = Shapes::default();
        let ids: Vec<_> = (0..SHAPES).map(|n| shapes.acquire(fields(&format!("f{n}"))).unwrap()).collect();
        assert_eq!(shapes.acquire(fields("one more")), None);
        shapes.release(ids[7]);
        let full = shapes.heap_bytes();
        let id = shapes.acquire(fields("f7x")).unwrap();
        assert_eq!((id, shapes.heap_bytes()), (ids[7], full + 1));
        assert_eq!(shapes.get(id).fields().len(), 1);
    }
}
