package verify

// memory is a map of bounded size that forgets what has not been asked for in a
// while: two generations, where the older one is dropped when the younger one
// is full. Every operation takes constant time. It is not safe for concurrent
// use.
type memory[K comparable, V any] struct {
	young, old map[K]V
	half       int
}

// newMemory returns a memory that holds at most size entries.
func newMemory[K comparable, V any](size int) memory[K, V] {
	return memory[K, V]{young: make(map[K]V), half: max(size/2, 1)}
}

func (m *memory[K, V]) get(key K) (V, bool) {
	if v, ok := m.young[key]; ok {
		return v, true
	}
	v, ok := m.old[key]
	if ok {
		delete(m.old, key)
		m.put(key, v)
	}
	return v, ok
}

func (m *memory[K, V]) put(key K, value V) {
	if len(m.young) >= m.half {
		m.young, m.old = make(map[K]V, m.half), m.young
	}
	m.young[key] = value
}

func (m *memory[K, V]) forget(key K) {
	delete(m.young, key)
	delete(m.old, key)
}
