// Package arrows holds the tests that guard the structure of the repository: which package may import which, where files are
// opened, where there is neither a clock nor chance, how long a file may be, and what must not be written in any of them.
//
// Run go test ./internal/arrows; each failure names a file, a line and what to do. The rules are the tables in rules_test.go. A
// new package needs a line there before it passes, and one in the layout table of DEVELOPMENT.md.
//
// The rules bind code that is shipped. Test files may import what they like in order to compare one package with another.
package arrows
