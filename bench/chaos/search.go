package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// unwanted is what no file may have: texts, as they are and as a dump writes bytes, in
// any case of letters, and addresses. A file is read once, however many texts there
// are: a long run leaves gigabytes and hundreds of texts.
type unwanted struct {
	addresses bool
	begins    map[uint64][][]byte // texts by their first eight bytes
	first     [1 << 16]bool       // by their first two: most places need no look into the map
}

const begin = 8 // bytes that tell which texts may stand at a place

func newUnwanted(addresses bool, texts []string) (*unwanted, error) {
	u := &unwanted{addresses: addresses, begins: map[uint64][][]byte{}}
	for _, text := range texts {
		plain := lower([]byte(text))
		if len(plain) < begin {
			return nil, fmt.Errorf("%d bytes are too few to look for", len(plain))
		}
		for _, form := range [][]byte{plain, []byte(hex.EncodeToString([]byte(text))), []byte(hex.EncodeToString(plain))} {
			key := binary.LittleEndian.Uint64(form)
			u.begins[key] = append(u.begins[key], form)
			u.first[uint16(key)] = true
		}
	}
	return u, nil
}

// lower makes capital letters of ASCII small, in place.
func lower(text []byte) []byte {
	for i, b := range text {
		if 'A' <= b && b <= 'Z' {
			text[i] = b + 'a' - 'A'
		}
	}
	return text
}

const overlap = 1 << 10 // bytes that are looked at again with the next block

// search reads a file of n bytes and says what of the unwanted it has, some of it.
func (u *unwanted) search(file string) (n int64, wrong []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = f.Close() }()
	var table []byte // that the dump is in
	buffer := make([]byte, overlap+1<<20)
	kept := 0 // bytes at the front that were there before
	for {
		k, err := io.ReadFull(f, buffer[kept:])
		n += int64(k)
		text := lower(buffer[:kept+k])
		for at, what := range u.in(text) {
			where := filepath.Base(file)
			if name := tableAt(text[:at], table); name != nil {
				where += ", table " + string(name)
			}
			if found := where + " has " + what; !slices.Contains(wrong, found) && len(wrong) < 10 {
				wrong = append(wrong, found)
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, wrong, nil
		case err != nil:
			return n, nil, err
		}
		kept = overlap
		table = bytes.Clone(tableAt(text[:len(text)-kept], table))
		copy(buffer, text[len(text)-kept:])
	}
}

// tableAt is the table whose rows a dump has at the end of text; before where text
// does not say.
func tableAt(text, before []byte) []byte {
	const rows = "\ncopy "
	if at := bytes.LastIndex(text, []byte(rows)); at >= 0 {
		before, _, _ = bytes.Cut(text[at+len(rows):], []byte(" "))
	}
	return before
}

// host is what follows the local part of an address: all domains of the lab end in .test.
var host = regexp.MustCompile(`^@[a-z0-9.-]+\.test`)

// in lists the places of the unwanted in a text, with what is there.
func (u *unwanted) in(text []byte) map[int]string {
	found := map[int]string{}
	for i := range text {
		if u.addresses && text[i] == '@' && i > 0 {
			if name := host.Find(text[i:min(i+300, len(text))]); name != nil {
				found[i] = string(text[max(0, i-10):i]) + string(name)
			}
		}
		if i+begin > len(text) || !u.first[binary.LittleEndian.Uint16(text[i:])] {
			continue
		}
		for _, form := range u.begins[binary.LittleEndian.Uint64(text[i:])] {
			if bytes.HasPrefix(text[i:], form) {
				found[i] = fmt.Sprintf("%.12s…", form)
			}
		}
	}
	return found
}
