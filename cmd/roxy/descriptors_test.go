package main

import "testing"

func TestDescriptorsAreSharedOut(t *testing.T) {
	if _, err := shareDescriptors(255); err == nil {
		t.Error("255 are too few")
	}
	for _, allowed := range []int{256, 1024, 4096, 20_000, 262_144, manyDescriptors} {
		d, err := shareDescriptors(allowed)
		if err != nil {
			t.Fatal(err)
		}
		if d.clients < allowed/3 || d.surplus < 8 || d.surplus > d.clients/4 || d.store < 64 || d.store > 1000 {
			t.Errorf("%d: %+v", allowed, d)
		}
		if left := allowed - d.clients - d.store - d.admin; left < ownDescriptors {
			t.Errorf("%d: %d are left for the hub itself", allowed, left)
		}
	}
}
