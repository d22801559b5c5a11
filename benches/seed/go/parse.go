// Checks the models of `cargo bench --bench seed` against real Go: `go run benches/seed/go/parse.go`.
//
// The parser of the Go service, written anew: a line read and scanned before each argument, then the argument
// through ReadAll, or its declared length exactly. Prints what the runtime counts (runtime.MemStats).
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// argument reads one argument of the declared length.
type argument func(r io.Reader, length int) ([]byte, error)

// readAllBuffer is what ioutil.ReadAll did until Go 1.15: bytes.Buffer over 512 bytes, at least 512 of which must be
// free before each read, also before the one that finds the end; else twice the capacity and 512 more.
func readAllBuffer(r io.Reader, length int) ([]byte, error) {
	limited := io.LimitReader(r, int64(length))
	kept := make([]byte, 0, bytes.MinRead)
	for {
		if cap(kept)-len(kept) < bytes.MinRead {
			larger := make([]byte, len(kept), 2*cap(kept)+bytes.MinRead)
			copy(larger, kept)
			kept = larger
		}
		read, err := limited.Read(kept[len(kept):cap(kept)])
		kept = kept[:len(kept)+read]
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readAllAppend is what it does since Go 1.16.
func readAllAppend(r io.Reader, length int) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, int64(length)))
}

// exact is the fix.
func exact(r io.Reader, length int) ([]byte, error) {
	kept := make([]byte, length)
	_, err := io.ReadFull(r, kept)
	return kept, err
}

// number reads a line and scans the number in it.
func number(r *bufio.Reader, format string) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	var number int
	_, err = fmt.Sscanf(line, format, &number)
	return number, err
}

func parse(r *bufio.Reader, read argument) ([][]byte, error) {
	count, err := number(r, "*%d\r")
	if err != nil {
		return nil, err
	}
	args := make([][]byte, count)
	for i := range args {
		length, err := number(r, "$%d\r")
		if err != nil {
			return nil, err
		}
		if args[i], err = read(r, length); err != nil {
			return nil, err
		}
		if _, err := r.Discard(2); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func request(arguments int) string {
	if arguments == 2 {
		return "*2\r\n$3\r\nGET\r\n$3\r\nKEY\r\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "*%d\r\n$4\r\nMGET\r\n", arguments)
	for id := 1; id < arguments; id++ {
		key := fmt.Sprintf("views:article:%d", id)
		fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(key), key)
	}
	return text.String()
}

func main() {
	fmt.Println(runtime.Version())
	fmt.Println("| arguments | parser | bytes allocated | allocations | heap grew by | ns per request |")
	fmt.Println("|---|---|---|---|---|---|")
	parsers := []struct {
		name string
		read argument
	}{{"ReadAll until 1.15", readAllBuffer}, {"ReadAll since 1.16", readAllAppend}, {"its fix", exact}}
	for _, c := range []struct{ arguments, repeats int }{{2, 10000}, {10000, 1}, {1000000, 1}} {
		text := request(c.arguments)
		for _, parser := range parsers {
			if err := measure(text, c.arguments, c.repeats, parser.name, parser.read); err != nil {
				fmt.Fprintln(os.Stderr, parser.name, err)
				os.Exit(1)
			}
		}
	}
}

// measure parses a request so often, as one connection would: with one buffered reader.
func measure(text string, arguments, repeats int, name string, read argument) error {
	source := strings.NewReader(text)
	reader := bufio.NewReader(source)
	// Sscanf keeps its state in a pool: the first use fills it.
	if _, err := parse(reader, read); err != nil {
		return err
	}
	runtime.GC()
	debug.SetGCPercent(-1)
	defer debug.SetGCPercent(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := 0; i < repeats; i++ {
		source.Reset(text)
		reader.Reset(source)
		args, err := parse(reader, read)
		if err != nil || len(args) != arguments {
			return fmt.Errorf("%d arguments: %w", len(args), err)
		}
		runtime.KeepAlive(args)
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	fmt.Printf("| %d × %d | Go: %s | %d | %d | %d | %d |\n", arguments, repeats, name,
		after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs, after.HeapAlloc-before.HeapAlloc,
		took.Nanoseconds()/int64(repeats))
	return nil
}
