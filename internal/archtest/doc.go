// Package archtest holds the house rules that a compiler does not know: which room may import which, and which library
// belongs to which room. They are its tests; the tables with the reasons are in rooms_test.go and libraries_test.go. It
// owns no code that anything imports.
package archtest
