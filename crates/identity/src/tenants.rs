//! Organisations, made by whoever runs the server.

use crate::{
    credentials::{CredentialError, Credentials},
    roster::check_name,
};
use async_trait::async_trait;
use bailiwick_ports::{TenantDesk, TenantError, TenantInfo, store::Tenant};

/// Organisations of one server.
const MAX_TENANTS: usize = 1000;

#[async_trait]
impl TenantDesk for Credentials {
    async fn create_tenant(&self, name: &str) -> Result<TenantInfo, TenantError> {
        check_name("name", name).map_err(|error| TenantError::Invalid(error.to_string()))?;
        let _one = self.founding.lock().await;
        let known = self.documents.store.tenants().await.map_err(unavailable)?;
        if let Some(same) = known.iter().find(|known| known.name == name) {
            // A crash may have come between the tenant and the first record of its stream.
            self.begin_administration(same).await.map_err(unavailable)?;
            return Err(TenantError::Taken(name.to_owned()));
        }
        if known.len() >= MAX_TENANTS {
            return Err(TenantError::TooMany(known.len()));
        }
        let made = self.new_tenant(name.to_owned());
        self.documents.store.put_tenant(made.clone()).await.map_err(unavailable)?;
        self.begin_administration(&made).await.map_err(unavailable)?;
        Ok(info(made))
    }

    async fn list_tenants(&self) -> Result<Vec<TenantInfo>, TenantError> {
        let mut all = self.documents.store.tenants().await.map_err(unavailable)?;
        all.sort_by_key(|tenant| tenant.id);
        Ok(all.into_iter().map(info).collect())
    }
}

fn info(tenant: Tenant) -> TenantInfo {
    TenantInfo { id: tenant.id, name: tenant.name, created: tenant.id.made_at() }
}

fn unavailable(error: impl Into<CredentialError>) -> TenantError {
    TenantError::Unavailable(error.into().to_string())
}
