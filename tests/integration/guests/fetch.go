// SPDX-License-Identifier: MIT
// fetch URL N: N requests at a time, each body on standard output, one after the other.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	n, _ := strconv.Atoi(os.Args[2])
	var lock sync.Mutex
	var all sync.WaitGroup
	failed := false
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			r, err := http.Get(os.Args[1])
			var body []byte
			if err == nil {
				body, err = io.ReadAll(r.Body)
				r.Body.Close()
			}
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				failed = true
				return
			}
			os.Stdout.Write(body)
		}()
	}
	all.Wait()
	if failed {
		os.Exit(1)
	}
}
