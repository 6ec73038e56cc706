package main

import (
	"fmt"
	"sort"
	"strings"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"
)

// readRequest is a manifest of several documents, such as a release record holds.
type readRequest struct {
	Source   string `json:"source"`
	Manifest string `json:"manifest"`
}

// readObjects parts a text into its documents, as Helm parts it, and reads each.
func readObjects(source, text string) ([]object, error) {
	parts := releaseutil.SplitManifests(text)
	keys := make([]string, 0, len(parts))
	for key := range parts {
		keys = append(keys, key)
	}
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	objects := make([]object, 0, len(keys))
	for _, key := range keys {
		read, err := readObject(source, parts[key])
		if err != nil {
			return nil, err
		}
		objects = append(objects, read)
	}
	return objects, nil
}

// readObject reads one document. Duplicate keys are no error, but each is named.
func readObject(source, text string) (object, error) {
	read, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return object{}, fmt.Errorf("YAML parse error on %s: %w", source, err)
	}
	result := object{Source: source, Manifest: text, Object: read}
	if _, err := yaml.YAMLToJSONStrict([]byte(text)); err != nil {
		result.Warnings = lines(err)
	}
	return result, nil
}

// lines gives each finding of a YAML error by itself.
func lines(err error) []string {
	var found []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasSuffix(line, "errors:") {
			found = append(found, line)
		}
	}
	return found
}
