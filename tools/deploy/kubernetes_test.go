package deploy

import (
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const label = "app.kubernetes.io/name"

// manifests are what kustomize makes of deploy/kubernetes.
type manifests struct {
	deployment apps.Deployment
	service    core.Service
	disruption policy.PodDisruptionBudget
	network    networking.NetworkPolicy
	monitor    monitoring.ServiceMonitor
}

func build(t *testing.T) *manifests {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../deploy/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	m := new(manifests)
	into := map[string]any{
		"Deployment": &m.deployment, "Service": &m.service, "PodDisruptionBudget": &m.disruption,
		"NetworkPolicy": &m.network, "ServiceMonitor": &m.monitor,
	}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		to := into[resource.GetKind()]
		if to == nil {
			t.Fatalf("%s is not looked at", resource.GetKind())
		}
		delete(into, resource.GetKind())
		// Strictly: a field that the type does not have is a slip of the pen.
		if err := yaml.UnmarshalStrict(text, to); err != nil {
			t.Errorf("%s: %v", resource.GetKind(), err)
		}
		if resource.GetNamespace() != "verify" || resource.GetLabels()[label] != "caddy-verify" {
			t.Errorf("%s is in the namespace %q with the labels %v", resource.GetKind(), resource.GetNamespace(), resource.GetLabels())
		}
	}
	if len(into) > 0 {
		t.Fatalf("there is no %v", into)
	}
	return m
}

// TestSelectors has all find the pods.
func TestSelectors(t *testing.T) {
	m := build(t)
	pod := m.deployment.Spec.Template.Labels
	for name, selector := range map[string]map[string]string{
		"Deployment": m.deployment.Spec.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.disruption.Spec.Selector.MatchLabels, "NetworkPolicy": m.network.Spec.PodSelector.MatchLabels,
	} {
		if selector[label] == "" || selector[label] != pod[label] {
			t.Errorf("%s selects %v, and a pod has %v", name, selector, pod)
		}
	}
	if m.monitor.Spec.Selector.MatchLabels[label] != m.service.Labels[label] {
		t.Errorf("ServiceMonitor selects %v", m.monitor.Spec.Selector)
	}
	ports := m.deployment.Spec.Template.Spec.Containers[0].Ports
	if name := ports[0].Name; m.service.Spec.Ports[0].TargetPort.StrVal != name || m.monitor.Spec.Endpoints[0].Port != m.service.Spec.Ports[0].Name ||
		m.network.Spec.Ingress[0].Ports[0].Port.StrVal != name {
		t.Error("the port has several names")
	}
	if min := m.disruption.Spec.MinAvailable.IntValue(); min < 1 || int32(min) >= *m.deployment.Spec.Replicas {
		t.Errorf("of %d gateways %d must be there: none could be drained", *m.deployment.Spec.Replicas, min)
	}
}

// TestPod is the restricted standard of Kubernetes, and what the gateway needs.
func TestPod(t *testing.T) {
	pod := build(t).deployment.Spec.Template.Spec
	gateway := pod.Containers[0]
	security := gateway.SecurityContext
	for what, holds := range map[string]bool{
		"non-root":             *pod.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser == 65532,
		"seccomp":              pod.SecurityContext.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault,
		"no token":             !*pod.AutomountServiceAccountToken,
		"read-only root":       *security.ReadOnlyRootFilesystem,
		"no escalation":        !*security.AllowPrivilegeEscalation,
		"no capabilities":      len(security.Capabilities.Drop) == 1 && security.Capabilities.Drop[0] == "ALL" && len(security.Capabilities.Add) == 0,
		"a version":            strings.Contains(gateway.Image, ":") && !strings.HasSuffix(gateway.Image, ":latest"),
		"memory bounded":       !gateway.Resources.Limits.Memory().IsZero(),
		"live":                 gateway.LivenessProbe.HTTPGet.Path == "/health/live" && gateway.StartupProbe.HTTPGet.Path == "/health/live",
		"ready":                gateway.ReadinessProbe.HTTPGet.Path == "/health/ready",
		"no secret in env":     len(gateway.EnvFrom) == 0,
		"time to stop":         *pod.TerminationGracePeriodSeconds > seconds(t, "shutdown_delay")+seconds(t, "grace_period"),
		"seen as not ready":    int64(gateway.ReadinessProbe.PeriodSeconds*gateway.ReadinessProbe.FailureThreshold) < seconds(t, "shutdown_delay"),
		"all volumes are used": len(pod.Volumes) == len(gateway.VolumeMounts),
	} {
		if !holds {
			t.Error("not so:", what)
		}
	}
	for _, mount := range gateway.VolumeMounts {
		if mount.SubPath != "" {
			t.Errorf("%s has a subPath: a new secret would not be seen", mount.Name)
		}
	}
}
