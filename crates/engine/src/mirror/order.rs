/// The stage of a kind: Flux's order, with CustomResourceDefinitions first as well, since they are waited for.
///
/// 0 namespaces and definitions; 1 what others refer to; 2 what pods read; 3 what runs; 4 everything else.
#[must_use]
pub fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" | "CustomResourceDefinition" => 0,
        "ServiceAccount" | "ClusterRole" | "Role" | "PersistentVolume" | "Service" => 1,
        "ResourceQuota"
        | "LimitRange"
        | "Secret"
        | "ConfigMap"
        | "RoleBinding"
        | "ClusterRoleBinding"
        | "PersistentVolumeClaim"
        | "Ingress" => 2,
        "DaemonSet" | "Deployment" | "ReplicationController" | "ReplicaSet" | "Job" | "CronJob" | "StatefulSet" => 3,
        _ => 4,
    }
}
