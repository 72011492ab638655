package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Whoever moves a page or a file, or renames a heading, hears of the links that led there.
func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	repository := os.DirFS("../..")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range pages(t, repository) {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if _, err := fs.Stat(repository, file); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			if linked, err := fs.ReadFile(repository, file); err != nil || !hasHeading(string(linked), anchor) {
				t.Errorf("%s links to %s: no such heading (%v)", page, match[1], err)
			}
		}
	}
}

func TestEveryDecisionIsInTheIndex(t *testing.T) {
	all := pages(t, os.DirFS("../.."))
	const folder = "docs/decisions/"
	for page := range all {
		name, ok := strings.CutPrefix(page, folder)
		if ok && name != "README.md" && !strings.Contains(all[folder+"README.md"], "]("+name+")") {
			t.Errorf("%sREADME.md does not list %s", folder, name)
		}
	}
}

// pages returns every Markdown page of the repository.
func pages(t *testing.T, repository fs.FS) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(repository, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && file != "." && (name == "node_modules" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(repository, file)
		all[file] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("the repository has no pages")
	}
	return all
}

// hasHeading reports whether page has a heading to which GitHub gives this anchor.
func hasHeading(page, anchor string) bool {
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(page) {
		title := strings.TrimLeft(line, "#")
		if title == line {
			continue
		}
		title = drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		if strings.ReplaceAll(title, " ", "-") == anchor {
			return true
		}
	}
	return false
}
