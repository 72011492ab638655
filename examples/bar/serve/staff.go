package main

import "slices"

// person is somebody who works in the demo's bar. A real bar has them from its identity provider.
type person struct {
	User  string   `json:"user"` // the sub of the token
	Name  string   `json:"name"`
	Roles []string `json:"roles"` // those that the person may take
}

// staff returns who works tonight: the users of evening.ndjson.
func staff() []person {
	return []person{
		{"waiter-1", "Mia", []string{"waiter"}},
		{"waiter-2", "Jonas", []string{"waiter"}},
		{"waiter-3", "Elif", []string{"waiter"}},
		{"kitchen", "Luca", []string{"kitchen"}},
		{"counter", "Noor", []string{"counter"}},
		{"till", "Sam", []string{"till"}},
		{"manager", "Ada", []string{"manager", "waiter", "till"}},
	}
}

// mayBe reports whether user is one of the staff and holds role.
func mayBe(user, role string) bool {
	return slices.ContainsFunc(staff(), func(p person) bool { return p.User == user && slices.Contains(p.Roles, role) })
}
