package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"strings"
	"text/template"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

const notesSuffix = "NOTES.txt"

// renderRequest is one rendering: everything that `helm upgrade` would know.
type renderRequest struct {
	// Chart is the path of a packaged chart or of a chart's folder.
	Chart     string          `json:"chart"`
	Release   string          `json:"release"`
	Namespace string          `json:"namespace"`
	Revision  int             `json:"revision"`
	Upgrade   bool            `json:"upgrade"`
	Values    json.RawMessage `json:"values"`
	// KubeVersion is the API server's version as it says it: v1.37.2.
	KubeVersion string   `json:"kube_version"`
	APIVersions []string `json:"api_versions"`
}

// object is one rendered document: as text, and as Helm reads it (YAML 1.1; of a duplicate key, the last wins).
type object struct {
	Source   string          `json:"source"`
	Manifest string          `json:"manifest"`
	Object   json.RawMessage `json:"object"`
	// Warnings name duplicate keys.
	Warnings []string `json:"warnings,omitempty"`
}

// hook is a hook in Helm's shape, with its object as Helm reads it.
type hook struct {
	*release.Hook
	Object json.RawMessage `json:"object"`
}

// rendered is what a release is made of, in Helm's order.
type rendered struct {
	Manifest string   `json:"manifest"`
	Objects  []object `json:"objects"`
	Hooks    []hook   `json:"hooks"`
	CRDs     []object `json:"crds"`
	Notes    string   `json:"notes"`
	// Chart is the chart as a release record holds it.
	Chart *chart.Chart `json:"chart"`
}

type lookupFunc func(lookupQuestion) (map[string]any, error)

// render does what `helm install` and `helm upgrade` do up to the point where they would talk to the cluster.
func render(request *renderRequest, lookup lookupFunc) (*rendered, error) {
	loaded, err := loader.Load(request.Chart)
	if err != nil {
		return nil, fmt.Errorf("the chart cannot be loaded: %w", err)
	}
	if err := checkInstallable(loaded); err != nil {
		return nil, err
	}
	// Numbers become float64, as they do when Helm reads a values file.
	values := map[string]any{}
	if len(request.Values) > 0 {
		if err := json.Unmarshal(request.Values, &values); err != nil {
			return nil, fmt.Errorf("the values are not a map: %w", err)
		}
	}
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return nil, fmt.Errorf("chart dependencies processing failed: %w", err)
	}
	capabilities, err := capabilitiesOf(request)
	if err != nil {
		return nil, err
	}
	if constraint := loaded.Metadata.KubeVersion; constraint != "" &&
		!chartutil.IsCompatibleRange(constraint, capabilities.KubeVersion.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s",
			constraint, capabilities.KubeVersion.Version)
	}
	options := common.ReleaseOptions{
		Name:      request.Release,
		Namespace: request.Namespace,
		Revision:  request.Revision,
		IsInstall: !request.Upgrade,
		IsUpgrade: request.Upgrade,
	}
	top, err := commonutil.ToRenderValues(loaded, values, options, capabilities)
	if err != nil {
		return nil, err
	}
	// No client provider: the cluster is reached through the owner's answers, and names are never resolved.
	renderer := engine.Engine{CustomTemplateFuncs: template.FuncMap{
		"lookup": func(apiVersion, kind, namespace, name string) (map[string]any, error) {
			return lookup(lookupQuestion{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name})
		},
	}}
	files, err := renderer.Render(loaded, top)
	if err != nil {
		return nil, err
	}
	return assemble(loaded, files)
}

// assemble parts the rendered files into notes, hooks and objects, and joins the manifest as Helm stores it.
func assemble(loaded *chart.Chart, files map[string]string) (*rendered, error) {
	result := &rendered{Hooks: []hook{}, Objects: []object{}, CRDs: []object{}, Chart: loaded}
	own := path.Join(loaded.Name(), "templates", notesSuffix)
	for name, content := range files {
		if strings.HasSuffix(name, notesSuffix) {
			if name == own {
				result.Notes = content
			}
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, err
	}
	for _, h := range hooks {
		read, err := readObject(h.Path, h.Manifest)
		if err != nil {
			return nil, err
		}
		result.Hooks = append(result.Hooks, hook{Hook: h, Object: read.Object})
	}
	var joined strings.Builder
	for _, m := range manifests {
		fmt.Fprintf(&joined, "---\n# Source: %s\n%s\n", m.Name, m.Content)
		read, err := readObject(m.Name, m.Content)
		if err != nil {
			return nil, err
		}
		result.Objects = append(result.Objects, read)
	}
	result.Manifest = joined.String()
	for _, crd := range loaded.CRDObjects() {
		read, err := readObjects(crd.Filename, string(crd.File.Data))
		if err != nil {
			return nil, err
		}
		result.CRDs = append(result.CRDs, read...)
	}
	return result, nil
}

// checkInstallable refuses what `helm install` refuses: libraries, and charts whose dependencies are not packed with them.
func checkInstallable(loaded *chart.Chart) error {
	if loaded.Metadata == nil {
		return errors.New("the chart has no Chart.yaml")
	}
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	packed := map[string]bool{}
	for _, dependency := range loaded.Dependencies() {
		packed[dependency.Name()] = true
	}
	var missing []string
	for _, dependency := range loaded.Metadata.Dependencies {
		if dependency != nil && !packed[dependency.Name] {
			missing = append(missing, dependency.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("found in Chart.yaml, but missing in charts/ directory: %s", strings.Join(missing, ", "))
	}
	return nil
}

func capabilitiesOf(request *renderRequest) (*common.Capabilities, error) {
	version, err := common.ParseKubeVersion(request.KubeVersion)
	if err != nil {
		return nil, fmt.Errorf("the cluster's version %q is not one: %w", request.KubeVersion, err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	capabilities.APIVersions = request.APIVersions
	// The library knows its version in full only where the helm program's own build told it.
	capabilities.HelmVersion.Version = helmVersion()
	return capabilities, nil
}

// helmVersion is the version of Helm's library, as the released program of that version gives it: v4.3.1.
func helmVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "helm.sh/helm/v4" {
				return module.Version
			}
		}
	}
	return common.DefaultCapabilities.HelmVersion.Version
}
