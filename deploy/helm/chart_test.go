// Package helm_test renders the chart.
package helm_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// object is a rendered object of Kubernetes.
type object struct {
	Kind     string
	Metadata struct{ Name string }

	decoded any // its type, where Kubernetes itself has it
}

// types are those of Kubernetes' own objects, which are decoded strictly.
var kubernetesTypes = map[string]func() any{
	"apps/v1 Deployment":                     func() any { return &appsv1.Deployment{} },
	"autoscaling/v2 HorizontalPodAutoscaler": func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"batch/v1 Job":                           func() any { return &batchv1.Job{} },
	"v1 Service":                             func() any { return &corev1.Service{} },
	"v1 ServiceAccount":                      func() any { return &corev1.ServiceAccount{} },
	"networking.k8s.io/v1 Ingress":           func() any { return &networkingv1.Ingress{} },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return &networkingv1.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":          func() any { return &policyv1.PodDisruptionBudget{} },
}

// custom are kinds that other projects define; their types are not decoded.
var custom = []string{"keda.sh/v1alpha1 ScaledObject", "monitoring.coreos.com/v1 ServiceMonitor"}

// render renders the chart as helm does, by kind and name.
func render(t *testing.T, values string) map[string]object {
	t.Helper()
	chart, err := loader.Load("holdfast")
	require.NoError(t, err)
	given := chartutil.Values{}
	if values != "" {
		given, err = chartutil.ReadValuesFile(filepath.Join("holdfast", "examples", values))
		require.NoError(t, err)
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: "prod", Namespace: "holdfast", IsInstall: true}, chartutil.DefaultCapabilities)
	require.NoError(t, err)
	strict := engine.Engine{Strict: true}
	files, err := strict.Render(chart, all)
	require.NoError(t, err)
	objects := map[string]object{}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for part := range strings.SplitSeq("\n"+text, "\n---") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			var head struct {
				APIVersion string
				object
			}
			require.NoError(t, yaml.Unmarshal([]byte(part), &head), "%s:\n%s", name, part)
			if head.Kind == "" {
				continue // comments alone
			}
			kind := head.APIVersion + " " + head.Kind
			if typed := kubernetesTypes[kind]; typed != nil {
				head.decoded = typed()
				require.NoError(t, yaml.UnmarshalStrict([]byte(part), head.decoded), "%s:\n%s", name, part)
			} else {
				require.Contains(t, custom, kind, name)
			}
			key := head.Kind + " " + head.Metadata.Name
			require.NotContains(t, objects, key)
			objects[key] = head.object
		}
	}
	return objects
}

// pods are the templates of everything that runs.
func pods(objects map[string]object) map[string]corev1.PodTemplateSpec {
	found := map[string]corev1.PodTemplateSpec{}
	for key, o := range objects {
		switch typed := o.decoded.(type) {
		case *appsv1.Deployment:
			found[key] = typed.Spec.Template
		case *batchv1.Job:
			found[key] = typed.Spec.Template
		}
	}
	return found
}

// The chart renders for its defaults and every example, as objects that Kubernetes
// takes, with settings that the programs read.
func TestHelmChart(t *testing.T) {
	examples, err := filepath.Glob("holdfast/examples/*.yaml")
	require.NoError(t, err)
	require.Len(t, examples, 5)
	readme, err := os.ReadFile("../../README.md") // a test of internal/config sees to it that it names every variable
	require.NoError(t, err)
	secrets := regexp.MustCompile("(?m)^\\| `…_FILE` .*$").FindString(string(readme))
	require.NotEmpty(t, secrets)
	for _, values := range append(examples, "") {
		if values != "" {
			values = filepath.Base(values)
		}
		objects := render(t, values)
		for key, pod := range pods(objects) {
			where := values + ": " + key
			require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot, where)
			require.False(t, *pod.Spec.AutomountServiceAccountToken, where)
			require.Contains(t, objects, "ServiceAccount "+pod.Spec.ServiceAccountName, where)
			for _, c := range pod.Spec.Containers {
				require.NotContains(t, c.Image, "latest", where)
				require.False(t, strings.HasSuffix(c.Image, ":"), where)
				require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, where)
				require.NotEmpty(t, c.Resources.Requests, where)
				require.NotEmpty(t, c.Resources.Limits, where)
				seen := map[string]bool{}
				for _, v := range c.Env {
					require.False(t, seen[v.Name], "%s: %s twice", where, v.Name)
					require.Contains(t, string(readme), "`"+v.Name+"`", where)
					require.Equal(t, strings.Contains(secrets, "`"+v.Name+"`"), v.ValueFrom != nil, "%s: %s", where, v.Name)
					seen[v.Name] = true
				}
			}
		}
		for key, o := range objects {
			checkDeployment(t, values+": "+key, o, objects)
		}
	}
}

// checkDeployment demands probes, and that what selects pods finds them.
func checkDeployment(t *testing.T, where string, o object, objects map[string]object) {
	t.Helper()
	labels := func(component string) map[string]string {
		deployment, ok := objects["Deployment prod-"+component].decoded.(*appsv1.Deployment)
		require.True(t, ok, "%s: no deployment %s", where, component)
		return deployment.Spec.Template.Labels
	}
	selects := func(selector map[string]string) {
		require.NotEmpty(t, selector, where)
		for name, value := range selector {
			require.Equal(t, value, labels(selector["app.kubernetes.io/component"])[name], "%s: %s", where, name)
		}
	}
	switch typed := o.decoded.(type) {
	case *appsv1.Deployment:
		c := typed.Spec.Template.Spec.Containers[0]
		selects(typed.Spec.Selector.MatchLabels)
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			require.NotNil(t, probe, where)
			port := probe.HTTPGet.Port.String()
			require.True(t, slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port }), "%s has no port %s", where, port)
		}
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path, where)
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path, "%s: PostgreSQL being away restarts no pod", where)
	case *corev1.Service:
		selects(typed.Spec.Selector)
	case *policyv1.PodDisruptionBudget:
		selects(typed.Spec.Selector.MatchLabels)
	case *networkingv1.NetworkPolicy:
		selects(typed.Spec.PodSelector.MatchLabels)
	case *autoscalingv2.HorizontalPodAutoscaler:
		scaled, ok := objects["Deployment "+typed.Spec.ScaleTargetRef.Name].decoded.(*appsv1.Deployment)
		require.True(t, ok, where)
		require.Nil(t, scaled.Spec.Replicas, "%s: the chart must not set what it scales", where)
	}
}

// value is a variable of a deployment's container.
func value(t *testing.T, objects map[string]object, deployment, name string) string {
	t.Helper()
	typed, ok := objects["Deployment prod-"+deployment].decoded.(*appsv1.Deployment)
	require.True(t, ok, deployment)
	for _, v := range typed.Spec.Template.Spec.Containers[0].Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// What each example is for.
func TestHelmExamples(t *testing.T) {
	standard := render(t, "")
	require.Equal(t, "orders,webhook", value(t, standard, "worker", "HOLDFAST_WORKER_ROLE"))
	require.Equal(t, "verify", value(t, standard, "verify", "HOLDFAST_WORKER_ROLE"))
	require.Empty(t, value(t, standard, "worker", "HOLDFAST_WORKER_DEPLOYMENT"), "unversioned")
	for _, key := range []string{"Job prod-migrate", "Job prod-schedules", "PodDisruptionBudget prod-verify", "NetworkPolicy prod-serve", "Service prod-serve"} {
		require.Contains(t, standard, key)
	}

	small := render(t, "small.yaml")
	require.Equal(t, "orders,verify,webhook", value(t, small, "worker", "HOLDFAST_WORKER_ROLE"))
	require.NotContains(t, small, "Deployment prod-verify")
	require.NotContains(t, small, "PodDisruptionBudget prod-worker")

	production := render(t, "production.yaml")
	require.Equal(t, "holdfast", value(t, production, "verify", "HOLDFAST_WORKER_DEPLOYMENT"))
	require.Equal(t, "2026.11.1", value(t, production, "verify", "HOLDFAST_WORKER_BUILD_ID"))
	require.Equal(t, "/etc/holdfast/tls/tls.crt", value(t, production, "serve", "HOLDFAST_HTTP_TLS_CERT"))
	require.Empty(t, value(t, production, "worker", "HOLDFAST_SMTP_HELO"), "the identity is the verification workers'")
	for _, key := range []string{"HorizontalPodAutoscaler prod-worker", "HorizontalPodAutoscaler prod-serve", "Ingress prod-serve", "ServiceMonitor prod-holdfast"} {
		require.Contains(t, production, key)
	}

	cell := render(t, "cell.yaml")
	require.NotContains(t, cell, "Deployment prod-serve", "one that knows of no cells would answer for one alone")
	require.Equal(t, "holdfast-eu-2", value(t, cell, "verify", "TEMPORAL_NAMESPACE"))
	require.Empty(t, value(t, cell, "worker", "HOLDFAST_CELLS"))
	cells := render(t, "cells.yaml")
	require.Equal(t, "/etc/holdfast/cells/cells.json", value(t, cells, "serve", "HOLDFAST_CELLS"))
	require.NotContains(t, cells, "Deployment prod-worker")
	require.NotContains(t, cells, "Job prod-schedules")
	for _, key := range []string{"Deployment prod-serve", "Job prod-migrate"} {
		pod := pods(cells)[key]
		require.Equal(t, "/etc/holdfast/cells", pod.Spec.Containers[0].VolumeMounts[0].MountPath, key)
		require.Equal(t, "holdfast-cells", pod.Spec.Volumes[0].Secret.SecretName, key)
		for _, v := range pod.Spec.Containers[0].Env {
			require.NotEqual(t, "HOLDFAST_DATABASE_URL", v.Name, key)
		}
	}

	keda := render(t, "keda.yaml")
	require.Contains(t, keda, "ScaledObject prod-worker")
	require.Contains(t, keda, "ScaledObject prod-verify")
	require.Contains(t, keda, "ScaledObject prod-webhook")
	require.Contains(t, keda, "PodDisruptionBudget prod-webhook")
	require.Equal(t, "orders", value(t, keda, "worker", "HOLDFAST_WORKER_ROLE"))
	require.Equal(t, "webhook", value(t, keda, "webhook", "HOLDFAST_WORKER_ROLE"))
}
